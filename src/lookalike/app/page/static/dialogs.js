// The two buttons in the page's header that open the dialogs of this folder.

import { openCollections } from "./collections.js";
import { openDuplicates } from "./duplicates.js";

/** `page` is `window.lookalike`: `collection()`, `setCollection(name)`, `refresh()` and `searchWith(id)`. */
export function wireDialogs(page) {
  const on = (id, open) => document.querySelector(id)?.addEventListener("click", open);
  const { setCollection, refresh, searchWith } = page;
  on("#lk-collections", () => openCollections({ current: page.collection(), setCollection, refresh }));
  on("#lk-duplicates", () => openDuplicates({ collection: page.collection(), searchWith }));
}
