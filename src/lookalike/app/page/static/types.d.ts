// What the server answers (api/schemas.py, and for searches api/search.py), and what the scripts hand to each other.
// For `make check` only: browsers never see it.

// The server

export interface Credit {
  author: string;
  licence: string;
  licence_url: string;
  source: string;
  changes: string;
}

export interface Picture {
  id: number;
  path: string;
  name: string;
  label: string;
  width: number | null;
  height: number | null;
  format: string | null;
  bytes: number | null;
  modified: number | null;
  credit: Credit | null;
}

/** A picture that was found; `word` says what the similarity means. */
export interface Hit extends Picture {
  similarity: number;
  cosine: number;
  distance: number;
  word: string;
  missing?: true;
  same: Hit[];
}

/** A picture, found or not. */
export type Entry = Picture & Partial<Hit>;

export interface Timing {
  embed: number;
  search: number;
}

/** Of a search; `missed` are ids, `queries` the tags of the pictures that were sent or fetched. */
export interface Answer {
  results: Hit[];
  timing_ms: Timing;
  missed: number[] | null;
  exact: boolean;
  words: string | null;
  queries: string[];
}

export interface Refused {
  type: string;
  message: string;
}

export interface Page {
  total: number;
  pictures: Picture[];
}

export interface Label {
  label: string;
  name: string;
  pictures: number;
}

/** Some of what `lookalike status --json` prints. */
export interface Status {
  pictures: number;
  index: "flat" | "ivfpq";
  spec: string;
  model: string;
  model_title: string;
  recall_at_10: { value: number; low: number; high: number; k: number; n: number };
  skipped: { path: string; reason: string }[];
}

/** All but the first two only with details; `pictures` is null where there is a problem. */
export interface Collection {
  name: string;
  default: boolean;
  pictures?: number | null;
  missing?: number;
  labels?: number;
  skipped?: number;
  bytes?: number;
  folders?: { path: string; pictures: number; missing: boolean }[];
  problem?: string;
}

export interface Collections {
  collections: Collection[];
}

export interface Reason {
  reason: string;
  count: number;
  files: string[];
}

export interface SkippedFiles {
  total: number;
  reasons: Reason[];
}

export interface Progress {
  phase: string;
  done: number;
  total: number;
  rate: number;
  seconds_left: number | null;
  skipped: number;
}

export interface JobReport {
  indexed: number;
  new: number;
  changed: number;
  unchanged: number;
  moved: number;
  missing: number;
  removed: number;
  seconds: number;
  skipped_count: number;
  skipped: { path: string; reason: string }[];
  reasons: Reason[];
}

export interface Job {
  id: number;
  collection: string;
  state: "running" | "done" | "stopped" | "failed";
  stopping: boolean;
  error: string | null;
  progress: Progress | null;
  report: JobReport | null;
}

export interface Jobs {
  jobs: Job[];
  local: boolean;
  needs_token: boolean;
}

export interface Folders {
  path: string;
  parent: string;
  name: string;
  crumbs: { name: string; path: string }[];
  folders: string[];
  pictures: number;
}

export interface CopyOf extends Picture {
  similarity: number;
  kept: boolean;
  part: number;
  is_link: boolean;
  link_of: number | null;
}

export interface DuplicateGroup {
  ignored: boolean;
  spare_bytes: number;
  least_similarity: number;
  is_chain: boolean;
  links: number;
  count: number;
  pictures: CopyOf[];
}

export interface Duplicates {
  total: number;
  ignored: number;
  pictures: number;
  spare_bytes: number;
  groups: DuplicateGroup[];
}

/** The answer while groups are still looked for. */
export interface Comparing {
  state: "waiting" | "running";
  progress: Progress | null;
  groups?: undefined;
}

export interface WhyPart {
  role: "asked" | "like" | "unlike";
  cosine: number;
  similarity: number;
  word: string;
  id: number | null;
  source: string | null;
  name: string | null;
  query: string | null;
  text: string | null;
  region: string | null;
}

export interface WhyIndex {
  verdict: string;
  found: boolean;
  list_rank: number | null;
  nprobe: number | null;
  nlist: number | null;
  code_rank: number | null;
  candidates: number | null;
  code_distance: number | null;
}

export interface Why {
  cosine: number;
  similarity: number;
  distance: number;
  word: string;
  rank: number | null;
  compared: number;
  passes: boolean;
  parts: WhyPart[];
  index: WhyIndex;
}

// A search (query.js)

/** Left, top, width and height as fractions of the sides. */
export type Region = [number, number, number, number];

/** What a part is made from: a file, an address, a picture of a collection, words, or the server's tag of a picture. */
export interface Given {
  file?: File | null;
  url?: string;
  id?: number;
  source?: string;
  text?: string;
  tag?: string | null;
  name?: string;
  credit?: Credit | null;
  region?: Region | null;
}

/** One of the things that are searched for; `isKnown` says that the server can show what its tag stands for. */
export interface Part extends Given {
  key: string;
  region: Region | null;
  isKnown?: boolean;
}

/** A picture to be more or less like; of an address, only its id is known at first. */
export interface Mark {
  id: number;
  name?: string;
  credit?: Credit | null;
}

export type Role = "like" | "dislike";
export type Sort = "similarity" | "newest" | "oldest" | "name" | "largest";

/** As in the fields of the panel: empty is no filter. */
export interface Filters {
  labels: string[];
  after: string;
  before: string;
  min_side: string;
  max_side: string;
  shape: string;
}

/** `browse` is the page of all pictures that is shown, or null. */
export interface State {
  collection: string;
  parts: Part[];
  like: Mark[];
  dislike: Mark[];
  filters: Filters;
  k: number;
  threshold: number;
  sort: Sort;
  fold: boolean;
  exact: boolean;
  browse: number | null;
}

// The page

/** What a search gives: its answer, and the state with what is known since. */
export interface Found {
  state: State;
  answer: Answer;
}

/** The searches of this visit (history.js). */
export interface Visits {
  start(): State;
  push(state: State): void;
  replace(state: State): void;
  back(): void;
  forward(): void;
  canBack(): boolean;
  canForward(): boolean;
  recent(isAsked: (state: State) => boolean): State[];
}

/** What is done with a picture that is shown. */
export interface Handlers {
  search(entry: Entry): void;
  details?(entry: Entry): void;
  mark?(role: Role, entry: Mark): void;
}

/** A button under an error: what it says and what it does. */
export type Way = [label: string, go: () => void];

/** A small picture (or words, without an address): address, title, label, what a click does. */
export type Thumb = [src: string | null | undefined, title: string, label: string, go: () => void];

/** `window.lookalike`: what other scripts may do with the page. */
export interface Lookalike {
  setCollection(name: string): void;
  searchWith(id: number, collection?: string): Promise<void>;
  queryForm(): FormData | null;
  refresh(): Promise<void>;
  collection(): string;
}

/** Says whether nothing was begun since (turns.js). */
export type IsLast = () => boolean;

/** A dialog of sheet.js. */
export interface Sheet {
  dialog: HTMLDialogElement;
  body: HTMLElement;
  heading: HTMLElement;
  begin(): IsLast;
  show(title: string, ...children: Children[]): void;
  close(): void;
}

/** What the views of the collections' dialog share; `page` is what it needs of the page. */
export interface CollectionsContext {
  sheet: Sheet;
  page: Pick<Lookalike, "setCollection" | "refresh"> & { current: string };
  list(): void;
  watch(job: Job): void;
  choose(name: string): void;
}

/** The question that a report is of; `asked` stands for it: one report is kept for each. */
export interface Asked {
  makeForm(): FormData;
  asked: object;
  closing: AbortSignal;
  hit: { id: number };
  collection: string;
  searchWith(id: number): void;
}

// Elements (dom.js)

export type Find = <T extends Element = HTMLElement>(selector: string, kind?: new () => T) => T;

export type Child = Node | string | null | undefined;
export type Children = Child | Child[];

type Value = string | number | null | undefined;
type Switch = boolean | null | undefined;
type Listener<E extends Event = Event> = ((event: E) => void) | null | undefined;

/** What elements are made with. All that the page sets is here, so that a misspelt name is an error. */
export interface Properties {
  [attribute: `aria-${string}` | `data-${string}`]: Value;
  class?: Value;
  role?: Value;
  scope?: Value;
  style?: Record<string, string | number>;

  alt?: Value;
  autocomplete?: Value;
  decoding?: "async";
  download?: Value;
  height?: Value;
  href?: Value;
  htmlFor?: Value;
  id?: Value;
  loading?: "lazy";
  max?: Value;
  maxLength?: Value;
  min?: Value;
  name?: Value;
  placeholder?: Value;
  referrerPolicy?: Value;
  rel?: Value;
  sandbox?: Value;
  src?: Value;
  srcObject?: MediaStream;
  step?: Value;
  tabIndex?: Value;
  target?: Value;
  title?: Value;
  type?: Value;
  value?: Value;
  width?: Value;

  autoplay?: Switch;
  checked?: Switch;
  disabled?: Switch;
  draggable?: Switch;
  hidden?: Switch;
  muted?: Switch;
  noValidate?: Switch;
  open?: Switch;
  playsInline?: Switch;
  spellcheck?: Switch;

  onchange?: Listener;
  onclick?: Listener<MouseEvent>;
  onclose?: Listener;
  onerror?: Listener;
  oninput?: Listener;
  onkeydown?: Listener<KeyboardEvent>;
  onload?: Listener;
  onsubmit?: Listener<SubmitEvent>;
}

declare global {
  interface Window {
    lookalike: Lookalike;
  }
}
