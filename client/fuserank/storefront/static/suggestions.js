// Live suggestions: the combobox pattern of WAI-ARIA with a list box.
const PAUSE_MS = 70;

export function startSuggestions(form) {
  const input = form.querySelector("#q");
  const list = form.querySelector("#suggestions");
  let timer = 0;
  let request = null;

  function close() {
    clearTimeout(timer);
    request?.abort();
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  async function ask() {
    request?.abort();
    request = new AbortController();
    try {
      const parameters = new URLSearchParams({ q: input.value });
      const response = await fetch(`/suggest?${parameters}`, { signal: request.signal });
      if (!response.ok) return close();
      list.innerHTML = await response.text(); // from the shop's own template, which escapes
    } catch {
      return;
    }
    const empty = !list.children.length;
    list.hidden = empty;
    input.setAttribute("aria-expanded", String(!empty));
    input.removeAttribute("aria-activedescendant");
  }

  function move(step) {
    const options = [...list.children];
    if (list.hidden || !options.length) return;
    const before = options.findIndex((option) => option.getAttribute("aria-selected") === "true");
    const index = before < 0 ? (step > 0 ? 0 : options.length - 1) : (before + step + options.length) % options.length;
    options.forEach((option, place) => option.setAttribute("aria-selected", String(place === index)));
    options[index].scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", options[index].id);
  }

  function choose(option) {
    input.value = option.dataset.text;
    close();
    form.requestSubmit();
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    if (!input.value.trim()) return close();
    timer = setTimeout(ask, PAUSE_MS);
  });
  input.addEventListener("keydown", (event) => {
    const chosen = list.hidden ? null : list.querySelector('[aria-selected="true"]');
    if (event.isComposing) return;
    if (event.key === "ArrowDown") move(1);
    else if (event.key === "ArrowUp") move(-1);
    else if (event.key === "Escape" && !list.hidden) close();
    else if (event.key === "Enter" && chosen) choose(chosen);
    else return;
    event.preventDefault();
  });
  input.addEventListener("blur", () => setTimeout(() => document.activeElement === input || close(), 150));
  list.addEventListener("pointerdown", (event) => event.preventDefault()); // keeps the focus in the box
  list.addEventListener("click", (event) => {
    const option = event.target.closest("[role=option]");
    if (option) choose(option);
  });
  form.addEventListener("submit", close);
}
