import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Arrival } from '../audit.ts';
import type { DemoPlace, DemoSink } from './demo-sink.ts';

const ENDING = '.eml';

/** Mails that are written as files and not sent. A file has the name of its event, so a mail that is repeated replaces it. */
export async function openMailFolder({ directory }: DemoPlace): Promise<DemoSink> {
  await import('nodemailer');
  const templates = join(directory, 'mail-templates');
  const folder = join(directory, 'mails');
  await mkdir(templates);
  await mkdir(folder);
  await writeFile(join(templates, 'default.subject.liquid'), 'Order {{ payload.number }} is invoiced');
  await writeFile(join(templates, 'default.text.liquid'), 'Organization {{ organization_id }}');
  return {
    options: {
      type: 'email',
      provider: 'smtp',
      from: 'Orders <orders@example.com>',
      to: 'customer@example.com',
      templates,
      dry_run: folder,
    },
    statuses: ['invoiced'],
    isSequence: false,
    arrivals: () => mailsIn(folder),
    close: () => Promise.resolve(),
  };
}

async function mailsIn(folder: string): Promise<Arrival[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(ENDING));
  return Promise.all(
    names.map(async (name) => {
      const text = await readFile(join(folder, name), 'utf8');
      return {
        eventId: name.slice(0, -ENDING.length),
        organizationId: /^Organization (\S+)/m.exec(text)?.[1] ?? '',
        number: Number(/^Subject: Order (\d+)/m.exec(text)?.[1]),
      };
    }),
  );
}
