import { finder } from "./dom.js";
import { start } from "./main.js";

start(finder(document)("#lk-shell"));
