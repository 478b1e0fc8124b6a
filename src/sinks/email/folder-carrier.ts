/** For development: each mail becomes a file, and nothing is sent. */
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import nodemailer from 'nodemailer';
import { DELIVERED, type Verdict } from '../../pipeline.ts';
import { errorName } from '../answer/error-name.ts';
import type { Mail } from './mail.ts';
import { messageOf } from './mail-message.ts';

export class FolderCarrier {
  private readonly folder: string;
  private readonly transport = nodemailer.createTransport({
    streamTransport: true,
    buffer: true,
    disableFileAccess: true,
    disableUrlAccess: true,
  });

  constructor(folder: string) {
    this.folder = folder;
  }

  async send(mail: Mail): Promise<Verdict> {
    const { message } = await this.transport.sendMail({ ...messageOf(mail) });
    const path = join(this.folder, `${mail.id}.eml`);
    try {
      await mkdir(this.folder, { recursive: true });
      await writeFile(`${path}.new`, message as Buffer);
      await rename(`${path}.new`, path);
      return DELIVERED;
    } catch (error) {
      const code = errorName(error);
      return { kind: 'unavailable', reason: `the folder of dry_run cannot be written (${code})`, code };
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
