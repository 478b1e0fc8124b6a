/**
 * Addresses of Supabase Realtime's single-message route: `…/api/broadcast/{channel}/events/{event}?private=true`.
 *
 * The other route takes many messages at once, and answers 202 even when it drops messages of a private channel that the key
 * may not write to. This route checks first and answers 403.
 */

/** The server encodes the length of both names in one byte; the channel has the prefix `realtime:`. */
const MAX_NAME_BYTES = 255;
const MAX_CHANNEL_BYTES = MAX_NAME_BYTES - 'realtime:'.length;

/**
 * Path of the broadcast API for the `url` of the configuration: a project's address alone, one with the prefix that a
 * gateway puts before Realtime, or a Realtime server's own `/api`.
 */
export function broadcastPath(url: URL): string {
  const prefix = url.pathname.replace(/\/+$/, '') || '/realtime/v1';
  return prefix.endsWith('/api') ? `${prefix}/broadcast` : `${prefix}/api/broadcast`;
}

/** The reason why Realtime can never carry these names, or undefined. */
export function nameProblem(channel: string, event: string): string | undefined {
  return problemOf('channel', channel, MAX_CHANNEL_BYTES) ?? problemOf('event', event, MAX_NAME_BYTES);
}

function problemOf(what: string, name: string, maxBytes: number): string | undefined {
  if (name === '') return `the ${what} name is empty`;
  // As path segments these two mean this folder and its parent, even when they are escaped.
  if (name === '.' || name === '..') return `the ${what} name is ${name}`;
  if (Buffer.byteLength(name) > maxBytes) return `the ${what} name is longer than ${maxBytes} bytes`;
  return undefined;
}

export function messagePath(base: string, options: { channel: string; event: string; isPrivate: boolean }): string {
  const path = `${base}/${encodeURIComponent(options.channel)}/events/${encodeURIComponent(options.event)}`;
  return options.isPrivate ? `${path}?private=true` : path;
}
