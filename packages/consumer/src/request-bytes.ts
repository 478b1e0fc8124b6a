/** A body as frameworks give it: a stream of fetch, a stream of Node, or bytes that were read already. */
export type WebhookBody = ReadableStream<Uint8Array> | AsyncIterable<Uint8Array> | Uint8Array;

/** The bytes, or undefined as soon as there are more than `limit`. Rejects when the body ends early. */
export async function requestBytes(body: WebhookBody | null, limit: number): Promise<Uint8Array | undefined> {
  if (body === null) return new Uint8Array();
  if (body instanceof Uint8Array) return body.length > limit ? undefined : body;
  const source = sourceOf(body);
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (let next = await source.next(); next.done !== true; next = await source.next()) {
    length += next.value.length;
    if (length > limit) return undefined;
    chunks.push(next.value);
  }
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

/** Asked by hand: leaving `for await` would destroy a request of Node, and its answer with it. */
function sourceOf(body: Exclude<WebhookBody, Uint8Array>): Pick<AsyncIterator<Uint8Array>, 'next'> {
  if (!('getReader' in body)) return body[Symbol.asyncIterator]();
  const reader = body.getReader();
  return { next: () => reader.read() as Promise<IteratorResult<Uint8Array>> };
}
