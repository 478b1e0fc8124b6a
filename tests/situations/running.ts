import { quoted, type Terminal } from './terminal.ts';
import type { Transcript } from './transcript.ts';

/** `walpost run`, which goes on while the scene does. */
export class Running {
  private readonly terminal: Terminal;
  private readonly transcript: Transcript;
  private readonly command: string;
  private seen = 0;

  constructor(terminal: Terminal, transcript: Transcript, argv: readonly string[]) {
    this.terminal = terminal;
    this.transcript = transcript;
    this.command = `$ walpost ${argv.map(quoted).join(' ')}`;
  }

  /** Waits for this in what is new, and keeps it. */
  async shows(pattern: RegExp): Promise<string> {
    await this.terminal.shows(pattern, this.seen);
    const fresh = this.terminal.text.slice(this.seen);
    this.transcript.keep('terminal', this.seen === 0 ? this.command : `${this.command}   (goes on)`, fresh);
    this.seen += fresh.length;
    return fresh;
  }

  async stop(): Promise<void> {
    this.terminal.signal('SIGTERM');
    await this.terminal.end();
  }
}
