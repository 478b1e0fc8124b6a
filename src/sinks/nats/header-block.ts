import { MsgHdrsImpl } from '@nats-io/transport-node';
import type { MessageHeaders } from '../broker/message-headers.ts';

/**
 * The headers of a message as the protocol has them, for a message that is sent: it is asked for these bytes and nothing else.
 * The client's own object looks through all its names for each that is added.
 */
export class HeaderBlock extends MsgHdrsImpl {
  readonly bytes: Buffer;

  /** @param named values of one line */
  constructor(named: MessageHeaders) {
    super();
    let text = 'NATS/1.0\r\n';
    for (const [name, value] of named) text += `${name}: ${value}\r\n`;
    this.bytes = Buffer.from(`${text}\r\n`);
  }

  override encode(): Uint8Array {
    return this.bytes;
  }
}
