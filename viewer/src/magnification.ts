/** Magnification and lengths: 10 µm a pixel is what a microscope shows at 1×. */

const MICROMETRES_AT_ONE = 10;
/** No microscope's pixel is larger; such a spacing stands for one that nobody knows. */
const BELIEVABLE_MICROMETRES = 100;

export const STEPS = [1, 5, 10, 20, 40] as const;

export interface Scale {
  /** µm a pixel of the base level; undefined where nobody knows. */
  readonly micrometres: number | undefined;
  /** Magnification at which a pixel of the base level is a pixel of the screen. */
  readonly native: number | undefined;
}

/** Spacing first, as it was measured; the objective's power stands in. */
export function scaleOf(spacingMm: number | undefined, power: number | undefined): Scale {
  const micrometres = spacingMm === undefined ? undefined : spacingMm * 1000;
  if (micrometres !== undefined && micrometres > 0 && micrometres < BELIEVABLE_MICROMETRES) {
    return { micrometres, native: MICROMETRES_AT_ONE / micrometres };
  }
  return { micrometres: undefined, native: power !== undefined && power > 0 ? power : undefined };
}

/** Base pixels a pixel of the screen at a magnification. */
export function resolutionAt(scale: Scale, magnification: number): number | undefined {
  return scale.native === undefined ? undefined : scale.native / magnification;
}

export function magnificationAt(scale: Scale, resolution: number): number | undefined {
  return scale.native === undefined ? undefined : scale.native / resolution;
}

export function formatMagnification(value: number): string {
  const digits = value >= 9.95 ? 0 : value >= 0.995 ? 1 : 2;
  return `${Number(value.toFixed(digits))}×`;
}

export interface Bar {
  readonly pixels: number;
  readonly label: string;
}

/** The longest round length (1, 2 or 5 times a power of ten) that fits into `limit` pixels. */
export function scaleBar(micrometres: number, resolution: number, limit: number): Bar {
  const most = micrometres * resolution * limit;
  const power = 10 ** Math.floor(Math.log10(most));
  const length = ([5, 2, 1].find((step) => step * power <= most) ?? 1) * power;
  return { pixels: length / (micrometres * resolution), label: formatLength(length) };
}

export function formatLength(micrometres: number): string {
  if (micrometres >= 10_000) return `${trimmed(micrometres / 10_000)} cm`;
  if (micrometres >= 1000) return `${trimmed(micrometres / 1000)} mm`;
  if (micrometres >= 1) return `${trimmed(micrometres)} µm`;
  return `${trimmed(micrometres * 1000)} nm`;
}

function trimmed(value: number): string {
  return String(Number(value.toPrecision(3)));
}
