// What is wrong in the page's scripts, types aside: eslint's recommended rules, and a few that catch mistakes.

import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  {
    languageOptions: { globals: globals.browser },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      eqeqeq: "error",
      "no-implicit-globals": "error",
      "no-shadow": "off",
      "no-var": "error",
      "prefer-const": "error",
    },
  },
  { files: ["**/early.js"], languageOptions: { sourceType: "script" } },
];
