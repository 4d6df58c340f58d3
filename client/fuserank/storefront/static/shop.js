// Follows links and sends forms without loading the page anew; without this file all of them work as they are.
import { startSuggestions } from "./suggestions.js";
import { showFirst, startSignals } from "./signals.js";

const RETRY_MS = 2000;
const NARROW = 900; // as in shop.css
const MARGIN_PX = 40;
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let latest = 0;
let waiting = 0;
let retry = 0;
let reading = null; // ends the page that is on its way, where another one is wanted
let turn = Promise.resolve(); // until what was asked for before has been answered

/** Names the tiles for a view transition, so that each moves to its new place. */
function nameTiles() {
  document.querySelectorAll("#page .tile, #page .row").forEach((tile, index) => {
    const top = tile.getBoundingClientRect().top;
    const visible = top < innerHeight * 1.2 && top > -400;
    const column = tile.closest(".column, .rail, main");
    const list = [...document.querySelectorAll(".column, .rail, main")].indexOf(column);
    tile.style.viewTransitionName = visible && index < 60 ? `tile-${list}-${CSS.escape(tile.dataset.item)}` : "";
  });
}

/** Puts the parts of another page in place of this one's; whoever goes on typing keeps the box, where `asked` stood. */
async function show(next, { stay, asked }) {
  const focused = stay ? describeFocus() : null;
  const replace = () => {
    const box = document.querySelector("#q");
    const types = document.activeElement === box && box.value !== asked;
    document.title = next.title;
    document.querySelector("#page").replaceWith(document.adoptNode(next.querySelector("#page")));
    if (!types) {
      box.value = next.querySelector("#q").value;
      const again = focused && document.querySelector(focused);
      (again || document.querySelector("#main")).focus({ preventScroll: true });
    }
    fit();
    if (!stay) scrollTo(0, 0);
    if (document.startViewTransition && !calm.matches) nameTiles();
  };
  if (document.startViewTransition && !calm.matches) {
    nameTiles();
    await document.startViewTransition(replace).updateCallbackDone;
  } else {
    replace();
  }
  const heading = document.querySelector("#main h1")?.textContent ?? "";
  const total = document.querySelector("#main .total")?.textContent ?? "";
  announce(`${heading} ${total}`.trim());
  showFirst();
  watchBreak();
}

/** Returns a selector of what has the focus that holds on the next page, too. */
function describeFocus() {
  const element = document.activeElement;
  if (!element || element === document.body || !element.name) return null;
  const item = element.closest("[data-item]")?.dataset.item;
  const own = `[name="${element.name}"]` + (element.tagName === "BUTTON" && element.name !== "graph" ? `[value="${CSS.escape(element.value)}"]` : "");
  return item ? `[data-item="${CSS.escape(item)}"] ${own}` : own;
}

/** Fits the page to a narrow screen: facets that would fill it are folded away, and the chosen shopper is in view. */
function fit() {
  const chosen = document.querySelector('.people [aria-pressed="true"]');
  if (chosen) chosen.parentElement.scrollLeft = chosen.offsetLeft - chosen.parentElement.offsetLeft - MARGIN_PX;
  const facets = document.querySelector(".facets > details");
  if (facets && innerWidth < NARROW) facets.open = false;
}

function announce(text) {
  document.querySelector("#announcement").textContent = text;
}

/**
 * Fetches a page and shows it; of several only the latest. Each waits until the one before is answered: both may change
 * the cookie, and the later answer would undo what the earlier one put into the basket. What is sent is sent in any case.
 */
function visit(url, options = {}) {
  const number = ++latest;
  const asked = document.querySelector("#q").value;
  clearTimeout(retry);
  reading?.abort();
  const load = () => answer(url, number, { asked, ...options });
  turn = turn.then(load, load);
  return turn;
}

async function answer(url, number, { asked, method = "GET", body, stay = false, push = true, unrecorded = false }) {
  if (method === "GET" && number !== latest) return;
  reading = method === "GET" ? new AbortController() : null;
  let response;
  let next;
  try {
    response = await fetch(url, { method, body, headers: { Accept: "text/html" }, signal: reading?.signal });
    next = new DOMParser().parseFromString(await response.text(), "text/html");
  } catch {
    return lose(url, method, number);
  } finally {
    reading = null;
  }
  // What has no page in it is not of the shop, but of something that stands before it.
  if (!next.querySelector("#page")) return lose(url, method, number);
  if (number !== latest) return;
  tell(unrecorded ? "unrecorded" : "");
  const address = new URL(response.url);
  const here = method === "GET" || response.redirected ? address.pathname + address.search : location.pathname + location.search;
  if (push && here !== location.pathname + location.search) history.pushState({}, "", here);
  await show(next, { stay, asked });
}

/** Says that the shop itself cannot be reached, and tries again until the visitor wants something else. */
function lose(url, method, number) {
  const sent = method === "POST";
  if (sent || number === latest) tell(sent ? "unrecorded" : "lost");
  if (number !== latest) return;
  retry = setTimeout(() => visit(sent ? location.href : url, { push: !sent, unrecorded: sent }), RETRY_MS);
}

/** Shows one of the alerts that the page holds; none for an empty name. */
function tell(name) {
  const alert = document.querySelector("#lost");
  alert.textContent = alert.dataset[name] ?? "";
  alert.hidden = !name;
}

/** Where the page says that the server takes a break: asks until it is back. */
function watchBreak() {
  clearTimeout(waiting);
  const sign = document.querySelector("[data-break]");
  if (!sign) return;
  waiting = setTimeout(async () => {
    const ready = await fetch("/ready").then((response) => response.ok, () => false);
    if (!ready) return watchBreak();
    const back = sign.dataset.break;
    await visit(location.href, { push: false });
    announce(back);
  }, RETRY_MS);
}

function isPlain(event) {
  return event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-swap]");
  if (!link || !isPlain(event) || event.defaultPrevented) return;
  event.preventDefault();
  visit(link.href);
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!("swap" in form.dataset) || event.defaultPrevented) return;
  event.preventDefault();
  const data = new URLSearchParams(new FormData(form, event.submitter));
  const stay = "stay" in form.dataset;
  if (form.method === "post") {
    visit(form.action, { method: "POST", body: data, stay });
  } else {
    const given = new URLSearchParams([...data].filter(([name, value]) => value || name === "q"));
    visit(`${form.action}?${given}`, { stay });
  }
});

// What is moved or chosen counts at once; a slider that is moved chooses the arm that reads it.
document.addEventListener("input", (event) => {
  const output = event.target.closest(".knob")?.querySelector("output");
  if (output) output.textContent = event.target.value;
});
document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-auto]");
  if (!form) return;
  if (event.target.type === "range") form.querySelector('[name="arm"][value="b"]').checked = true;
  form.requestSubmit();
});

addEventListener("popstate", () => visit(location.href, { push: false }));
fit();
startSuggestions(document.querySelector(".search"));
startSignals();
watchBreak();
