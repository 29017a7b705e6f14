/** The page's own addresses. They hold UIDs alone: an address ends up in histories and logs. */

import type { SeriesPath } from "./dicom/client";

export type Route =
  | { readonly name: "worklist" }
  | { readonly name: "slide"; readonly path: SeriesPath };

const UID = "((?:0|[1-9][0-9]*)(?:\\.(?:0|[1-9][0-9]*))*)"; // PS3.5 §9.1
const SLIDE = new RegExp(`^#/studies/${UID}/series/${UID}$`);
const LONGEST_UID = 64;

export function parseHash(hash: string): Route {
  const [, study = "", series = ""] = SLIDE.exec(hash) ?? [];
  if (!study || !series || study.length > LONGEST_UID || series.length > LONGEST_UID) {
    return { name: "worklist" };
  }
  return { name: "slide", path: { study, series } };
}

export function slideHash(path: SeriesPath): string {
  return `#/studies/${path.study}/series/${path.series}`;
}

export const WORKLIST_HASH = "#/";
