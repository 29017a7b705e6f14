import { expect, test } from "vitest";
import { adobeRgbSegment, hasAdobeMarker, hasIccProfile, iccSegments, isJpeg, withColour } from "../src/jpeg";

const SOI = [0xff, 0xd8];
const JFIF = [0xff, 0xe0, 0, 16, 0x4a, 0x46, 0x49, 0x46, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0];
const TABLE = [0xff, 0xdb, 0, 4, 9, 9];
const SCAN = [0xff, 0xda, 0, 4, 1, 2, 0x55, 0xff, 0xee, 0xff, 0xd9];
const NO_ICC = new Uint8Array(0);

function joined(pieces: Uint8Array[]): number[] {
  return pieces.flatMap((piece) => [...piece]);
}

test("a stream that lacks nothing passes as it is", () => {
  const bytes = Uint8Array.from([...SOI, ...JFIF, ...TABLE, ...SCAN]);
  expect(withColour(bytes, { rgb: false, icc: NO_ICC })).toEqual([bytes]);
});

test("a profile goes behind SOI and leaves the rest alone", () => {
  const profile = Uint8Array.of(1, 2, 3, 4);
  const out = joined(withColour(Uint8Array.from([...SOI, ...TABLE, ...SCAN]), { rgb: false, icc: iccSegments(profile) }));
  expect(out.slice(0, 4)).toEqual([0xff, 0xd8, 0xff, 0xe2]);
  expect(out.slice(4, 6)).toEqual([0, 2 + 14 + 4]);
  expect(String.fromCharCode(...out.slice(6, 18))).toBe("ICC_PROFILE\0");
  expect(out.slice(18, 24)).toEqual([1, 1, 1, 2, 3, 4]);
  expect(out.slice(24)).toEqual([...TABLE, ...SCAN]);
  expect(hasIccProfile(Uint8Array.from(out))).toBe(true);
});

test("a large profile is cut into numbered chunks", () => {
  const profile = Uint8Array.from({ length: 141_992 }, (_, index) => index % 251);
  const segments = iccSegments(profile);
  const back: number[] = [];
  let at = 0;
  let chunks = 0;
  while (at < segments.length) {
    const length = (segments[at + 2]! << 8) | segments[at + 3]!;
    chunks += 1;
    expect([segments[at], segments[at + 1], segments[at + 16], segments[at + 17]]).toEqual([0xff, 0xe2, chunks, 3]);
    back.push(...segments.subarray(at + 18, at + 2 + length));
    at += 2 + length;
  }
  expect(chunks).toBe(3);
  expect(Uint8Array.from(back)).toEqual(profile);
});

test("an RGB stream without a word on it gets Adobe's, and loses the JFIF that says YCbCr", () => {
  const bytes = Uint8Array.from([...SOI, ...JFIF, ...TABLE, ...SCAN]);
  const out = joined(withColour(bytes, { rgb: true, icc: NO_ICC }));
  expect(out).toEqual([...SOI, ...adobeRgbSegment(), ...TABLE, ...SCAN]);
  expect(hasAdobeMarker(Uint8Array.from(out))).toBe(true);
});

test("an Adobe marker that is there is believed", () => {
  const bytes = Uint8Array.from([...SOI, ...adobeRgbSegment(), ...TABLE, ...SCAN]);
  expect(withColour(bytes, { rgb: true, icc: NO_ICC })).toEqual([bytes]);
});

test("bytes of the scan are not taken for markers", () => {
  expect(hasAdobeMarker(Uint8Array.from([...SOI, ...SCAN]))).toBe(false);
});

test("a stream that ends in the middle of a segment ends the search", () => {
  expect(hasIccProfile(Uint8Array.of(0xff, 0xd8, 0xff, 0xe2, 0xff))).toBe(false);
  expect(isJpeg(Uint8Array.of(0xff, 0x4f, 0xff, 0x51, 0))).toBe(false);
});
