/**
 * The templates of mails: a folder with `<event type>.subject.liquid`, `.text.liquid` and `.html.liquid`. Files that begin
 * with `default.` serve the types that have none of their own.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Template } from './template.ts';

const NAME = /^(.+)\.(subject|text|html)\.liquid$/;
const DEFAULT = 'default';

export interface MailTemplates {
  readonly subject?: Template;
  readonly text?: Template;
  readonly html?: Template;
}

export class MailFolder {
  private readonly types: ReadonlyMap<string, MailTemplates>;

  private constructor(types: ReadonlyMap<string, MailTemplates>) {
    this.types = types;
  }

  /** Reads every file; the folder, or what is wrong with it. */
  static read(folder: string): MailFolder | string {
    const types = new Map<string, MailTemplates>();
    let names: string[];
    try {
      names = readdirSync(folder).filter((name) => name.endsWith('.liquid'));
      for (const name of names) {
        const [, type = '', part = ''] = NAME.exec(name) ?? [];
        if (type === '')
          return `${name} is no part of a mail; name it <event type>.subject.liquid, .text.liquid or .html.liquid`;
        const template = Template.read(readFileSync(join(folder, name), 'utf8'), part === 'html' ? 'html' : 'text');
        if (typeof template === 'string') return `${name}, ${template}`;
        types.set(type, { ...types.get(type), [part]: template });
      }
    } catch (error) {
      return `cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`;
    }
    if (types.size === 0) return 'holds no template';
    for (const [type, { subject, text, html }] of types) {
      if (!subject) return `${type}.subject.liquid is missing`;
      if (!text && !html) return `${type}.text.liquid or ${type}.html.liquid is missing`;
    }
    return new MailFolder(types);
  }

  templatesFor(eventType: string): MailTemplates | undefined {
    return this.types.get(eventType) ?? this.types.get(DEFAULT);
  }
}
