/** A template of the configuration is its text, or the path of a file that ends in `.liquid`. */
import { readFileSync } from 'node:fs';
import type { TemplateKind } from './escapes.ts';
import { Template } from './template.ts';
import { WalpostError } from '../errors.ts';

const FILE = /^[^\n{}]+\.liquid\s*$/;

/** The template, or what is wrong with it. */
export function templateOf(given: string, kind: TemplateKind): Template | string {
  if (!FILE.test(given)) return Template.read(given, kind);
  const path = given.trim();
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    return `cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`;
  }
  return Template.read(text, kind);
}

/** Throws CONFIG_INVALID when a file has changed for the worse since it was checked. */
export function soundTemplate(given: string, kind: TemplateKind, where: string): Template {
  const template = templateOf(given, kind);
  if (typeof template !== 'string') return template;
  throw new WalpostError('CONFIG_INVALID', { detail: `${where}: ${template}.` });
}
