// Makes and replaces the rows of tables. Writes everything as text, never as markup.

export const byId = (id) => document.getElementById(id);

// Makes an element of a kind, with texts and elements in it.
export function element(name, kind, ...content) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.append(...content);
  return made;
}

// Makes a link to a path of this port. `path` begins with a slash, which is dropped: the port may be below a prefix.
export function link(text, path, title) {
  const a = element("a", "", text);
  a.href = path.slice(1);
  if (title) a.title = title;
  return a;
}

// Makes a cell. `label` names it where the columns have no heads.
export function cell(label, content, kind) {
  const td = element("td", kind);
  // Tables are laid out as lists on narrow screens, which would otherwise make them no tables for a screen reader.
  td.setAttribute("role", "cell");
  td.dataset.label = label;
  if (content === "" || content === null || content === undefined) td.classList.add("blank");
  else td.append(content);
  return td;
}

export function row(name, cells) {
  const tr = element("tr", "", ...cells);
  tr.setAttribute("role", "row");
  tr.dataset.name = name;
  return tr;
}

// Replaces the rows of a table. Keeps the elements of unchanged rows and cells: otherwise a link would lose the focus,
// and a click that spans a snapshot, every second.
export function put(body, rows) {
  const focused = document.activeElement;
  const known = new Map([...body.rows].map((tr) => [tr.dataset.name, tr]));
  rows.forEach((tr, index) => {
    const old = known.get(tr.dataset.name);
    known.delete(tr.dataset.name);
    if (old) [...tr.cells].forEach((td, at) => old.cells[at].isEqualNode(td) || old.cells[at].replaceWith(td));
    if (body.rows[index] !== (old ?? tr)) body.insertBefore(old ?? tr, body.rows[index] ?? null);
  });
  while (body.rows.length > rows.length) body.deleteRow(-1);
  // A row that has moved was briefly removed from the document.
  if (document.activeElement !== focused && body.contains(focused)) focused.focus({ preventScroll: true });
}
