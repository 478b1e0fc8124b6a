/** Reads Server-Sent Events: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation */
export interface SseMessage {
  readonly event: string;
  readonly data: string;
  readonly id: string;
}

export class SseParser {
  /** What the server asked for with `retry:`, in milliseconds. */
  retry: number | undefined;
  private rest = '';
  private id = '';
  private event = '';
  private data: string[] = [];

  /** The messages that are complete with this piece of text. */
  push(text: string): SseMessage[] {
    const messages: SseMessage[] = [];
    const whole = this.rest + text;
    // A carriage return at the end may be the first half of a line break.
    const end = whole.endsWith('\r') ? whole.length - 1 : whole.length;
    const lines = whole.slice(0, end).split(/\r\n|\n|\r/);
    this.rest = (lines.pop() ?? '') + whole.slice(end);
    for (const line of lines) {
      if (line !== '') this.take(line);
      else if (this.data.length > 0) messages.push(this.finish());
      else this.event = '';
    }
    return messages;
  }

  private finish(): SseMessage {
    const message = { event: this.event || 'message', data: this.data.join('\n'), id: this.id };
    this.event = '';
    this.data = [];
    return message;
  }

  private take(line: string): void {
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'data') this.data.push(value);
    else if (name === 'event') this.event = value;
    else if (name === 'id' && !value.includes('\0')) this.id = value;
    else if (name === 'retry' && /^\d+$/.test(value)) this.retry = Number(value);
  }
}
