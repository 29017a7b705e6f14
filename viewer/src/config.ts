/** What the page has to know of its server; every part has a default, so that a copy of the page
 * behind any DICOMweb service at `/dicomweb` works too. */

export interface Config {
  readonly dicomwebUrl: string;
  /** Where slide files can be given for conversion; undefined where the server has no such route. */
  readonly apiUrl: string | undefined;
  readonly version: string;
}

const DEFAULTS: Config = { dicomwebUrl: "/dicomweb", apiUrl: undefined, version: "" };

export async function loadConfig(): Promise<Config> {
  try {
    const response = await fetch("./config.json");
    if (!response.ok) return DEFAULTS;
    return readConfig(await response.json());
  } catch {
    // The worklist's own request says it better when the server is not there.
    return DEFAULTS;
  }
}

export function readConfig(document: unknown): Config {
  if (typeof document !== "object" || document === null) return DEFAULTS;
  const { dicomwebUrl, apiUrl, version } = document as Record<string, unknown>;
  return {
    dicomwebUrl: typeof dicomwebUrl === "string" ? dicomwebUrl.replace(/\/+$/, "") : "/dicomweb",
    apiUrl: typeof apiUrl === "string" ? apiUrl.replace(/\/+$/, "") : undefined,
    version: typeof version === "string" ? version : "",
  };
}
