// The page's elements, and the formats of numbers, times and ids. Text is always text, never markup.

/** An element with a class, text and children. */
export function make(name, className = "", ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** The same, of a drawing. */
export function drawn(name, attributes = {}) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

export const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
export const clock = (at) => new Date(at).toLocaleTimeString("en-GB");
export const number = (id) => Number(id.split("-").pop());
export const short = (id) => `#${number(id)}`;
