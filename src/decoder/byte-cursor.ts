import { WalpostError } from '../errors.ts';

const LONGEST_NAME = 1024;

/** The message breaks the protocol; `detail` never quotes its contents. */
export function malformed(detail: string): WalpostError {
  return new WalpostError('PROTOCOL', { detail });
}

/** Reads one message from front to back; every read checks the bounds first. For messages that are not one a row. */
export class ByteCursor {
  private readonly bytes: Buffer;
  private at: number;

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  uint8(): number {
    return this.bytes.readUInt8(this.take(1));
  }

  uint16(): number {
    return this.bytes.readUInt16BE(this.take(2));
  }

  uint32(): number {
    return this.bytes.readUInt32BE(this.take(4));
  }

  uint64(): bigint {
    return this.bytes.readBigUInt64BE(this.take(8));
  }

  int64(): bigint {
    return this.bytes.readBigInt64BE(this.take(8));
  }

  /** Text up to a zero byte, cut: names are shorter, but the prefix of a message is as long as its writer wants. */
  cString(): string {
    const end = this.bytes.indexOf(0, this.at);
    if (end < 0) throw this.truncated();
    const text = this.bytes.toString('utf8', this.at, Math.min(end, this.at + LONGEST_NAME));
    this.at = end + 1;
    return text;
  }

  /** Where the bytes begin that are skipped. */
  skip(length: number): number {
    return this.take(length);
  }

  /** A message says its own length: bytes that nobody asked for mean that it was misread. */
  finish(): void {
    if (this.at !== this.bytes.length) throw malformed(`A message of type ${this.type()} has bytes left over.`);
  }

  private take(length: number): number {
    const at = this.at;
    if (at + length > this.bytes.length) throw this.truncated();
    this.at = at + length;
    return at;
  }

  private truncated(): WalpostError {
    return malformed(`A message of type ${this.type()} ends after ${this.bytes.length} bytes.`);
  }

  private type(): string {
    return messageType(this.bytes);
  }
}

/** The message's type for an error text; a control character as its number. */
export function messageType(bytes: Buffer): string {
  const type = bytes[0] ?? 0;
  return type > 32 && type < 127 ? String.fromCharCode(type) : `0x${type.toString(16).padStart(2, '0')}`;
}
