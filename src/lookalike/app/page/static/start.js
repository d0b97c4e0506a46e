import { start } from "./main.js";

start(document.querySelector("#lk-shell"));
