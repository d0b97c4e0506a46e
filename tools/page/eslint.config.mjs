// What is wrong in the page's scripts, types aside: eslint's recommended rules, and three that catch slips.

import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  {
    languageOptions: { globals: globals.browser },
    rules: { eqeqeq: "error", "no-var": "error", "prefer-const": "error" },
  },
  { files: ["**/early.js"], languageOptions: { sourceType: "script" } },
];
