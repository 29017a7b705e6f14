/**
 * What a browser has to be told about a JPEG stream that DICOM tells elsewhere, as segments put in
 * behind its SOI. Nothing is decoded, and the entropy-coded data stay as they are.
 */

const SOI = 0xffd8;
const APP2_LIMIT = 65535 - 2 - 14; // the length counts itself; 14 bytes of header (ICC.1 §B.4)
const ICC_HEADER = "ICC_PROFILE\0";

export function isJpeg(bytes: Uint8Array): boolean {
  return bytes.length > 4 && ((bytes[0]! << 8) | bytes[1]!) === SOI && bytes[2] === 0xff;
}

/** APP2 segments that carry an ICC profile, in as many chunks as it needs (ICC.1 Annex B.4). */
export function iccSegments(profile: Uint8Array): Uint8Array<ArrayBuffer> {
  const count = Math.ceil(profile.length / APP2_LIMIT);
  if (count === 0 || count > 255) return new Uint8Array(0);
  const out = new Uint8Array(profile.length + count * 18);
  let at = 0;
  for (let index = 0; index < count; index++) {
    const chunk = profile.subarray(index * APP2_LIMIT, (index + 1) * APP2_LIMIT);
    const length = chunk.length + 16;
    out.set([0xff, 0xe2, length >> 8, length & 0xff], at);
    out.set(Array.from(ICC_HEADER, (character) => character.charCodeAt(0)), at + 4);
    out.set([index + 1, count], at + 16);
    out.set(chunk, at + 18);
    at += chunk.length + 18;
  }
  return out;
}

/** Adobe's APP14 with transform 0: the three components are R, G and B (T.872 §6.5.3). */
export function adobeRgbSegment(): Uint8Array<ArrayBuffer> {
  return Uint8Array.of(0xff, 0xee, 0, 14, 0x41, 0x64, 0x6f, 0x62, 0x65, 0, 100, 0, 0, 0, 0, 0);
}

/** Whether the stream says itself how its colours are coded. */
export function hasAdobeMarker(bytes: Uint8Array): boolean {
  return segments(bytes).some(
    ({ marker, at }) => marker === 0xee && ascii(bytes, at + 4, 5) === "Adobe",
  );
}

/** Whether the stream carries an ICC profile of its own. */
export function hasIccProfile(bytes: Uint8Array): boolean {
  return segments(bytes).some(
    ({ marker, at }) => marker === 0xe2 && ascii(bytes, at + 4, 12) === ICC_HEADER,
  );
}

export interface ColourFacts {
  /** Photometric Interpretation is RGB: the stored components are no YCbCr. */
  readonly rgb: boolean;
  /** Ready-made segments of {@link iccSegments}; empty for none. */
  readonly icc: Uint8Array<ArrayBuffer>;
}

/** The stream in pieces for a Blob, with what is missing put in behind SOI and APP0. */
export function withColour(bytes: Uint8Array<ArrayBuffer>, facts: ColourFacts): Uint8Array<ArrayBuffer>[] {
  const inserted: Uint8Array<ArrayBuffer>[] = [];
  if (facts.rgb && !hasAdobeMarker(bytes)) inserted.push(adobeRgbSegment());
  if (facts.icc.length > 0 && !hasIccProfile(bytes)) inserted.push(facts.icc);
  if (inserted.length === 0) return [bytes];
  // A JFIF marker says YCbCr (T.871 §5) and decoders believe it more than Adobe's, so it goes
  // where the components are RGB.
  const start = facts.rgb ? behindJfif(bytes) : 2;
  return [bytes.subarray(0, 2), ...inserted, bytes.subarray(start)];
}

function behindJfif(bytes: Uint8Array): number {
  const head = segments(bytes)[0];
  if (head?.marker !== 0xe0 || ascii(bytes, head.at + 4, 4) !== "JFIF") return 2;
  return head.at + 2 + head.length;
}

interface Segment {
  readonly marker: number;
  readonly at: number;
  readonly length: number;
}

/** The marker segments before the scan; stops quietly where the stream is not well formed. */
function segments(bytes: Uint8Array): Segment[] {
  const found: Segment[] = [];
  let at = 2;
  while (at + 4 <= bytes.length && bytes[at] === 0xff) {
    const marker = bytes[at + 1]!;
    if (marker === 0xff) {
      at += 1; // fill byte (T.81 §B.1.1.2)
      continue;
    }
    if (marker === 0xda) break;
    const length = (bytes[at + 2]! << 8) | bytes[at + 3]!;
    if (length < 2) break;
    found.push({ marker, at, length });
    at += 2 + length;
  }
  return found;
}

function ascii(bytes: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + length));
}
