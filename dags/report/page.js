"use strict";
(() => {
  const page = document.documentElement;

  // ---- light and dark: as the reader's system is, until the button is pressed ----
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const store = (value) => { try { if (value) localStorage.setItem("webtext-theme", value); return localStorage.getItem("webtext-theme"); } catch { return null; } };
  const dark = () => (page.dataset.theme ? page.dataset.theme === "dark" : system.matches);
  const label = () => { button.textContent = dark() ? "Light page" : "Dark page"; };
  const kept = store();
  if (kept === "light" || kept === "dark") page.dataset.theme = kept;
  button.addEventListener("click", () => { page.dataset.theme = dark() ? "light" : "dark"; store(page.dataset.theme); label(); });
  system.addEventListener("change", label);
  button.hidden = false;
  label();

  // ---- links to a cluster open it ----
  const open = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (!(target instanceof HTMLDetailsElement)) return;
    target.open = true;
    target.querySelector("summary").focus({ preventScroll: true });
    target.scrollIntoView({ block: "center" });
  };
  addEventListener("hashchange", open);
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element && event.target.closest('a[href^="#cluster-"]');
    if (!link) return;
    event.preventDefault();
    location.hash = link.hash; // nothing happens if it is there already, and then it may have been closed
    open();
  });
  open();

  // ---- the sample: search, filter, sort, a page at a time ----
  const STEP = 25;
  const table = document.getElementById("rows");
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row, place) => ({
    row, place, text: row.textContent.toLowerCase(), outcome: row.dataset.outcome, cells: [...row.cells].map((cell) => cell.textContent.trim()),
  }));
  const search = document.getElementById("search");
  const outcome = document.getElementById("outcome");
  const order = document.getElementById("order");
  const more = document.getElementById("more");
  const count = document.getElementById("count");
  const heads = [...table.tHead.rows[0].cells];
  const numeric = new Set([3, 4]);
  let shown = STEP;
  let sorted = null; // [column, 1 or -1]

  const compare = (one, other) => {
    const [column, way] = sorted;
    const [a, b] = [one.cells[column], other.cells[column]];
    if (a === "" || b === "") return (a === "") - (b === "") || one.place - other.place; // nothing known: last, either way
    const apart = numeric.has(column) ? Number(a.replaceAll(",", "")) - Number(b.replaceAll(",", "")) : a.localeCompare(b);
    return way * apart || one.place - other.place;
  };
  const wanted = ({ text, outcome: of }, words, choice) =>
    words.every((word) => text.includes(word)) && (choice === "" || of === choice || (choice === "dropped" && of !== "kept"));

  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const matching = rows.filter((entry) => wanted(entry, words, outcome.value));
    matching.sort(sorted ? compare : (one, other) => one.place - other.place);
    const visible = matching.slice(0, shown);
    for (const entry of rows) entry.row.hidden = true;
    for (const entry of visible) entry.row.hidden = false;
    body.append(...visible.map((entry) => entry.row));
    more.hidden = visible.length === matching.length;
    count.textContent = matching.length
      ? `Showing ${visible.length.toLocaleString("en")} of ${matching.length.toLocaleString("en")} rows that match.`
      : "Nothing in the sample matches.";
  };
  const sortBy = (column, way) => {
    sorted = column === null ? null : [column, way];
    heads.forEach((head, number) => head.setAttribute("aria-sort", number !== column ? "none" : way > 0 ? "ascending" : "descending"));
    shown = STEP;
    show();
  };
  heads.forEach((head, column) => {
    const press = document.createElement("button");
    press.type = "button";
    press.textContent = head.textContent;
    head.replaceChildren(press);
    press.addEventListener("click", () => {
      const again = sorted && sorted[0] === column;
      sortBy(column, again ? -sorted[1] : numeric.has(column) ? -1 : 1);
    });
  });
  order.addEventListener("change", () => {
    const value = order.value;
    sortBy(value === "" ? null : Math.abs(Number(value)), value.startsWith("-") ? -1 : 1);
  });
  search.addEventListener("input", () => { shown = STEP; show(); });
  outcome.addEventListener("change", () => { shown = STEP; show(); });
  more.addEventListener("click", () => { shown += 4 * STEP; show(); });
  const controls = document.getElementById("controls");
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.hidden = false;
  show();
})();
