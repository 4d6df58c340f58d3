// The signals of the product under the cursor, or with the focus, as bars that add up to its score.
function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function signed(number) {
  return (number < 0 ? "−" : "+") + Math.abs(number).toFixed(2);
}

/** Returns rows: name, a bar from where the sum stood to where it stands now, the number; the reason below. */
function makeRows(name, from, to, number, kind, scale, reason) {
  const row = make("tr", kind === "whole" ? "sum" : "");
  const head = make("th", "", name);
  head.scope = "row";
  const cell = make("td", "bar");
  const fall = make("div", "fall");
  const bar = make("i", kind);
  bar.style.left = `${scale(Math.min(from, to))}%`;
  bar.style.width = `${scale(Math.max(from, to)) - scale(Math.min(from, to))}%`;
  fall.append(bar);
  cell.append(fall);
  row.append(head, cell, make("td", "number", number));
  if (!reason) return [row];
  const below = make("tr");
  const why = make("td", "why", reason);
  why.colSpan = 3;
  below.append(why);
  return [row, below];
}

function show(tile, target) {
  const { score, parts, heads } = JSON.parse(tile.dataset.signals);
  let sum = 0;
  const steps = parts.map(([name, amount, reason]) => ({ name, amount, reason, from: sum, to: (sum += amount) }));
  const ends = [0, score, ...steps.map((step) => step.to)];
  const low = Math.min(...ends);
  const scale = (value) => (100 * (value - low)) / (Math.max(...ends) - low || 1);
  const table = make("table", "bars");
  for (const step of steps) {
    const kind = step.amount < 0 ? "minus" : "plus";
    table.append(...makeRows(step.name, step.from, step.to, signed(step.amount), kind, scale, step.reason));
  }
  table.append(...makeRows(target.dataset.score, 0, score, score.toFixed(2), "whole", scale, ""));
  const title = tile.querySelector("a").textContent;
  const chances = Object.entries(heads).map(([name, value]) => `${name} ${(100 * value).toFixed(0)} %`).join(" · ");
  target.replaceChildren(make("p", "name", title), table, make("p", "small", chances));
  document.querySelectorAll(".pointed").forEach((pointed) => pointed.classList.remove("pointed"));
  tile.classList.add("pointed");
}

/** Shows the first product's, until another one is pointed at. */
export function showFirst() {
  const tile = document.querySelector("[data-signals]");
  const target = document.querySelector("#signals");
  if (tile && target) show(tile, target);
}

export function startSignals() {
  const point = (event) => {
    const tile = event.target.closest?.("[data-signals]");
    const target = document.querySelector("#signals");
    if (tile && target && !tile.classList.contains("pointed")) show(tile, target);
  };
  document.addEventListener("pointerover", point);
  document.addEventListener("focusin", point);
  showFirst();
}
