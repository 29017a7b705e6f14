/** DICOMweb (PS3.18) as this page uses it: searches, metadata, frames, pictures, bulk data. */

import type { Dataset } from "./json";
import { Failure, isAbort, kindOfStatus } from "./failure";
import { getToken } from "./token";

const JSON_TYPE = "application/dicom+json";

export interface SeriesPath {
  readonly study: string;
  readonly series: string;
}

export interface InstancePath extends SeriesPath {
  readonly instance: string;
}

/** Query keys; several values of one key are repeated parameters. */
export type Parameters = ReadonlyArray<readonly [name: string, value: string]>;

export class DicomWebClient {
  constructor(private readonly base: string) {}

  /** QIDO-RS (PS3.18 §10.6): datasets of the matches. */
  async search(path: string, parameters: Parameters, signal?: AbortSignal): Promise<Dataset[]> {
    const query = parameters
      .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
      .join("&");
    const response = await this.get(`${path}?${query}`, JSON_TYPE, signal);
    return response.status === 204 ? [] : datasets(await response.json());
  }

  /** Metadata of every instance of a series (PS3.18 §10.4.1.1.2). */
  async metadata(path: SeriesPath, signal?: AbortSignal): Promise<Dataset[]> {
    const response = await this.get(`${seriesUrl(path)}/metadata`, JSON_TYPE, signal);
    return datasets(await response.json());
  }

  /** One frame as it is stored, if that is a JPEG stream; {@link Failure} `unacceptable` if not. */
  async jpegFrame(path: InstancePath, frame: number, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    const response = await this.get(`${instanceUrl(path)}/frames/${frame}`, "image/jpeg", signal);
    return new Uint8Array(await response.arrayBuffer());
  }

  /** One frame as the server draws it, the ICC profile in it (PS3.18 §8.3.5). */
  async renderedFrame(path: InstancePath, frame: number, signal: AbortSignal): Promise<Blob> {
    const url = `${instanceUrl(path)}/frames/${frame}/rendered?iccprofile=yes`;
    return (await this.get(url, "image/jpeg", signal)).blob();
  }

  /** A whole instance as the server draws it, fitted into a square. */
  async rendered(path: InstancePath, side: number, signal?: AbortSignal): Promise<Blob> {
    const url = `${instanceUrl(path)}/rendered?viewport=${side},${side}&iccprofile=yes`;
    return (await this.get(url, "image/jpeg", signal)).blob();
  }

  async thumbnail(path: SeriesPath | InstancePath, side: number, signal?: AbortSignal): Promise<Blob> {
    const resource = "instance" in path ? instanceUrl(path) : seriesUrl(path);
    const url = `${resource}/thumbnail?viewport=${side},${side}`;
    return (await this.get(url, "image/jpeg", signal)).blob();
  }

  /**
   * Bulk data of a BulkDataURI. Only its path below the service is used: behind a proxy that ends
   * TLS a server may name itself by another scheme or host than the page was loaded from.
   */
  async bulkData(uri: string, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    const at = uri.lastIndexOf("/studies/");
    const path = at >= 0 ? uri.slice(at) : `/${uri}`;
    const response = await this.get(path, "application/octet-stream", signal);
    return new Uint8Array(await response.arrayBuffer());
  }

  private async get(path: string, accept: string, signal?: AbortSignal): Promise<Response> {
    return send(this.base + path, { headers: { Accept: accept }, signal: signal ?? null });
  }
}

/** Fetch with the token, and every failure as a {@link Failure}; aborts stay aborts. */
export async function send(url: string, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers);
  const token = getToken();
  if (token) headers.set("Authorization", `Bearer ${token}`);
  let response: Response;
  try {
    response = await fetch(url, { ...init, headers, credentials: "same-origin" });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new Failure("offline", "The archive does not answer.");
  }
  if (response.ok) return response;
  throw new Failure(
    kindOfStatus(response.status),
    `The archive answered ${response.status}.`,
    await detailOf(response),
  );
}

async function detailOf(response: Response): Promise<string> {
  if (!response.headers.get("content-type")?.includes("json")) return "";
  try {
    const problem = (await response.json()) as { detail?: unknown; title?: unknown };
    const said = problem.detail ?? problem.title;
    return typeof said === "string" ? said : "";
  } catch {
    return ""; // the status says enough
  }
}

function datasets(document: unknown): Dataset[] {
  if (!Array.isArray(document)) throw new Failure("broken", "The answer is not DICOM JSON.");
  return document as Dataset[];
}

export function seriesUrl(path: SeriesPath): string {
  return `/studies/${path.study}/series/${path.series}`;
}

function instanceUrl(path: InstancePath): string {
  return `${seriesUrl(path)}/instances/${path.instance}`;
}
