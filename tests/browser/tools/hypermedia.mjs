// Libraries that insert what a server sends into the page.

/** The element that an event inserts. */
export const item = (number) => `<li id="line-${number}">${number}</li>`;

/** The libraries by the folders of their pages. */
export const LIBRARIES = {
  datastar: {
    name: 'Datastar',
    headers: ['datastar-request'],
    type: 'datastar-merge-fragments',
    text: (number) => `selector #lines\nmergeMode append\nfragments ${item(number)}`,
    comesBackAfterAnEnd: false,
  },
  htmx: {
    name: 'htmx',
    headers: ['hx-request', 'hx-request-type', 'hx-source', 'hx-target', 'hx-current-url'],
    text: item,
    comesBackAfterAnEnd: true,
  },
};
