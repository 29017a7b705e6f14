/** What is shown instead of content: every failure with what to do about it, and the token form. */

import { clearToken, getToken, setToken } from "../dicom/token";
import type { Failure, FailureKind } from "../dicom/failure";
import { h, setState } from "../dom";
import { parseHash, WORKLIST_HASH } from "../router";

const WORDS: Record<FailureKind, readonly [title: string, advice: string]> = {
  offline: [
    "The archive does not answer",
    "Is it running? Start it with “coverslip serve” (or “make run”), check the network, and try again.",
  ],
  unauthorized: ["This archive asks who you are", ""],
  forbidden: [
    "Not allowed",
    "The token in use lacks a permission for this. Ask whoever runs the archive for a role that may read studies.",
  ],
  "not-found": [
    "Nothing is here",
    "The slide is not in this archive, or you may not see it. It may have been removed since the link was made.",
  ],
  unavailable: [
    "The archive is there, but not ready",
    "Its database or its store of files does not answer at the moment. This often passes by itself.",
  ],
  unacceptable: [
    "This cannot be shown",
    "The images are stored in a form that neither the browser reads nor the archive can draw.",
  ],
  broken: [
    "Something went wrong",
    "Trying again may help. If it does not, the archive's log says more.",
  ],
};

/** A notice for a failure; `retry` starts over. */
export function failureNotice(failure: Failure, retry: () => void): HTMLElement {
  setState(`error-${failure.kind}`);
  if (failure.kind === "unauthorized") return tokenNotice(retry);
  const [title, advice] = WORDS[failure.kind];
  const again = h("button", { class: "primary", onclick: retry }, "Try again");
  const notice = h(
    "section",
    { class: "notice", role: "alert" },
    h("h2", {}, title),
    h("p", {}, advice),
    failure.detail !== "" && h("p", { class: "detail" }, `The archive says: ${failure.detail}`),
    h(
      "div",
      { class: "actions" },
      again,
      parseHash(location.hash).name === "slide" &&
        h("a", { class: "quiet", href: WORKLIST_HASH }, "All cases"),
    ),
  );
  if (failure.kind === "offline") {
    // Coming back by itself is the least surprise once the network is there again.
    window.addEventListener("online", () => notice.isConnected && retry(), { once: true });
  }
  return notice;
}

function tokenNotice(retry: () => void): HTMLElement {
  const wasRefused = getToken() !== null;
  clearToken();
  const field = h("input", {
    id: "token",
    name: "token",
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
    "aria-describedby": "token-help",
  });
  const submit = (event: Event): void => {
    event.preventDefault();
    if (field.value.trim() === "") return;
    setToken(field.value);
    retry();
  };
  queueMicrotask(() => field.focus());
  return h(
    "section",
    { class: "notice", role: "alert" },
    h("h2", {}, wasRefused ? "The token was refused" : WORDS.unauthorized[0]),
    h(
      "p",
      { id: "token-help" },
      "Enter an API token. It stays in this tab and is forgotten when you close it. Whoever runs the archive makes one with ",
      h("code", {}, "coverslip token create"),
      ".",
    ),
    h(
      "form",
      { class: "token", onsubmit: submit },
      h("label", { for: "token" }, "API token"),
      field,
      h("button", { class: "primary", type: "submit" }, "Continue"),
    ),
  );
}
