import type { IncomingMessage } from 'node:http';

/**
 * The body of a request; null when the client cut it off. A receiver that awaits the body in any other way leaves an unhandled
 * rejection behind when a relay ends in the middle of a request, and the whole run of tests fails with it.
 */
export async function requestBody(request: IncomingMessage): Promise<Buffer | null> {
  try {
    return Buffer.concat((await request.toArray()) as Buffer[]);
  } catch {
    return null;
  }
}
