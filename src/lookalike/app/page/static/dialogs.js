// The two buttons in the page's header that open the dialogs of this folder.

import { openCollections } from "./collections.js";
import { openDuplicates } from "./duplicates.js";

/** @import { Lookalike } from "./types.d.ts" */

/**
 * `page` is `window.lookalike`.
 * @param {Lookalike} page
 */
export function wireDialogs(page) {
  /** @type {(id: string, open: () => void) => void} */
  const on = (id, open) => document.querySelector(id)?.addEventListener("click", open);
  const { setCollection, refresh, searchWith } = page;
  on("#lk-collections", () => openCollections({ current: page.collection(), setCollection, refresh }));
  on("#lk-duplicates", () => openDuplicates({ collection: page.collection(), searchWith }));
}
