// Holds which streams are shown and in which order. The page's address has the same, so that it can be kept.

import { byId } from "./table.js";

const FIRST = 50;
const STEP = 100;
const MOST = 1000;
const WORDS = {
  trouble: "in trouble first, then by subscribers",
  name: "by name",
  state: "by state",
  subscribers: "by subscribers",
  rate: "by events per second",
  lag: "by events behind",
};

const view = { sort: "trouble", isReversed: false, limit: FIRST };
const fields = { route: byId("route"), state: byId("state"), q: byId("filter") };

// Takes over what the address says, as far as it is known.
export function restore() {
  const given = new URLSearchParams(location.search);
  const sort = given.get("sort");
  if (sort in WORDS) view.sort = sort;
  view.isReversed = given.has("reversed");
  offerRoutes([given.get("route")].filter(Boolean));
  for (const [name, field] of Object.entries(fields)) {
    field.value = given.get(name) ?? "";
    if (field.selectedIndex === -1) field.value = "";
  }
}

// Offers these routes, and the one that is chosen.
export function offerRoutes(names) {
  const { route } = fields;
  const offered = [...route.options].slice(1).map((option) => option.value);
  const wanted = [...new Set([...names, route.value].filter(Boolean))].sort();
  if (String(offered) === String(wanted)) return;
  const chosen = route.value;
  route.replaceChildren(route.options[0], ...wanted.map((name) => new Option(name)));
  route.value = chosen;
}

// Returns the parameters of /events.
export function query() {
  const { sort, limit } = view;
  const natural = sort === "name" ? ["asc", "desc"] : ["desc", "asc"];
  const parameters = new URLSearchParams({ sort, order: natural[Number(view.isReversed)], limit });
  for (const [name, field] of Object.entries(fields)) if (field.value.trim()) parameters.set(name, field.value.trim());
  return parameters;
}

// Calls `changed` after each change of the view, and keeps the address and the heads of the table as it is.
export function watch(changed) {
  const apply = () => {
    const address = new URLSearchParams();
    if (view.sort !== "trouble") address.set("sort", view.sort);
    if (view.isReversed) address.set("reversed", "");
    for (const [name, field] of Object.entries(fields)) if (field.value.trim()) address.set(name, field.value.trim());
    history.replaceState(null, "", address.size > 0 ? `?${address}` : location.pathname);
    showOrder();
    changed();
  };
  const start = () => {
    view.limit = FIRST;
    apply();
  };
  let typing;
  fields.q.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(start, 150);
  });
  fields.route.addEventListener("change", start);
  fields.state.addEventListener("change", start);
  byId("choice").addEventListener("submit", (event) => event.preventDefault());
  byId("more").querySelector("button").addEventListener("click", () => {
    view.limit = Math.min(MOST, view.limit + STEP);
    apply();
  });
  for (const th of heads()) {
    th.querySelector("button").addEventListener("click", () => {
      sortBy(th.dataset.sort);
      start();
    });
  }
  document.addEventListener("keydown", (event) => shortcut(event));
  showOrder();
}

// The first time sorts by a column, the second reverses it, the third goes back to the order of the beginning.
function sortBy(column) {
  const [isSame, wasReversed] = [view.sort === column, view.isReversed];
  view.sort = isSame && wasReversed ? "trouble" : column;
  view.isReversed = isSame && !wasReversed;
}

function shortcut(event) {
  const isTyped = event.target.closest("input, select, textarea");
  if (event.key === "/" && !isTyped && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    fields.q.focus();
    fields.q.select();
  }
  if (event.key === "Escape" && event.target === fields.q && fields.q.value) {
    event.preventDefault();
    fields.q.value = "";
    fields.q.dispatchEvent(new Event("input"));
  }
}

const heads = () => document.querySelectorAll("#streams-table th[data-sort]");

function showOrder() {
  for (const th of heads()) {
    const isNatural = !view.isReversed;
    const isAscending = (th.dataset.sort === "name") === isNatural;
    th.setAttribute("aria-sort", th.dataset.sort !== view.sort ? "none" : isAscending ? "ascending" : "descending");
  }
}

// Returns the order in words.
export const order = () => `${WORDS[view.sort]}${view.isReversed ? ", reversed" : ""}`;

// Returns true if more streams can be asked for.
export const canGrow = () => view.limit < MOST;
