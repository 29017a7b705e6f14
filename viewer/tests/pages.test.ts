import { expect, test } from "vitest";
import { readConfig } from "../src/config";
import { press } from "../src/keyboard";
import { formatLength, formatMagnification, resolutionAt, scaleBar, scaleOf } from "../src/magnification";
import { parseHash, slideHash } from "../src/router";
import { NO_TERMS, searches } from "../src/search";
import { readJob } from "../src/upload";

test("an address leads to a slide and back", () => {
  const path = { study: "2.25.1", series: "1.2.840.3" };
  expect(parseHash(slideHash(path))).toEqual({ name: "slide", path });
});

test("an address that holds no UIDs leads to the list", () => {
  for (const hash of ["", "#/", "#/studies/../series/1", "#/studies/1.2/series/01.2", `#/studies/1.${"2".repeat(70)}/series/1`]) {
    expect(parseHash(hash)).toEqual({ name: "worklist" });
  }
});

test("without terms all cases with slides are asked for", () => {
  expect(searches(NO_TERMS)).toEqual([[["ModalitiesInStudy", "SM"]]]);
});

test("a patient is searched by name and by identifier", () => {
  const found = searches({ ...NO_TERMS, patient: "Jane Doe" }).map((keys) => keys.slice(1).flat());
  expect(found).toEqual([
    ["PatientName", "*Doe^Jane*"],
    ["PatientID", "*Jane Doe*"],
    ["PatientName", "*Jane Doe*"],
  ]);
});

test("wildcards that were typed stay as they are", () => {
  expect(searches({ ...NO_TERMS, container: "S26-*-A1" })[0]).toContainEqual(["ContainerIdentifier", "S26-*-A1"]);
});

test("H&E is found under the codes of its substances", () => {
  for (const stain of ["H&E", "he", "H and E"]) {
    const keys = searches({ ...NO_TERMS, stain }).map((one) => one[1]!);
    expect(keys[0]![0]).toMatch(/CodeMeaning$/);
    expect(keys[0]![1]).toBe("*eosin*");
  }
});

test("a stain is found with or without its capital", () => {
  expect(searches({ ...NO_TERMS, stain: "ki-67" })[0]![1]![1]).toBe("*?i-67*");
});

test("ten micrometres a pixel are 1×", () => {
  const scale = scaleOf(0.00025, 20);
  expect(scale.native).toBeCloseTo(40);
  expect(resolutionAt(scale, 20)).toBeCloseTo(2);
});

test("a spacing that no microscope has gives way to the objective", () => {
  expect(scaleOf(1, 20)).toEqual({ micrometres: undefined, native: 20 });
  expect(scaleOf(0.26458, undefined)).toEqual({ micrometres: undefined, native: undefined });
});

test("the scale bar is the longest round length that fits", () => {
  expect(scaleBar(0.25, 1, 140)).toEqual({ pixels: 80, label: "20 µm" });
  expect(scaleBar(0.25, 80, 140)).toEqual({ pixels: 100, label: "2 mm" });
  for (let resolution = 0.25; resolution < 200; resolution *= 1.17) {
    const { pixels } = scaleBar(0.25, resolution, 140);
    expect(pixels).toBeLessThanOrEqual(140);
    expect(pixels).toBeGreaterThan(140 / 2.51);
  }
});

test("lengths and magnifications are written shortly", () => {
  expect([0.2, 50, 1000, 20_000].map(formatLength)).toEqual(["200 nm", "50 µm", "1 mm", "2 cm"]);
  expect([0.6123, 1.6, 20.04].map(formatMagnification)).toEqual(["0.61×", "1.6×", "20×"]);
});

test("keys pan, zoom, magnify and fit, and others are left alone", () => {
  const done: unknown[] = [];
  const actions = {
    pan: (right: number, down: number) => done.push(["pan", right, down]),
    zoom: (factor: number) => done.push(["zoom", factor]),
    magnify: (step: number) => done.push(["magnify", step]),
    fit: () => done.push(["fit"]),
  };
  expect(["ArrowLeft", "ArrowDown", "+", "-", "4", "f", "Tab", "x"].map((key) => press(key, actions))).toEqual([
    true, true, true, true, true, true, false, false,
  ]);
  expect(done).toEqual([["pan", -1, 0], ["pan", 0, 1], ["zoom", 2], ["zoom", 0.5], ["magnify", 20], ["fit"]]);
});

test("a configuration that says nothing leaves the defaults", () => {
  expect(readConfig(null).dicomwebUrl).toBe("/dicomweb");
  expect(readConfig({ dicomwebUrl: "/pacs/dicomweb/", apiUrl: "/api" })).toEqual({
    dicomwebUrl: "/pacs/dicomweb",
    apiUrl: "/api",
    version: "",
  });
});

test("a job's answer may lack everything but its state", () => {
  expect(readJob({ id: "a", state: "queued" })).toEqual({ id: "a", state: "queued", progress: 0, error: "" });
});
