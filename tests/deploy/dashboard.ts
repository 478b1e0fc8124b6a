import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEPLOY } from '../support/compose-services.ts';

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description: string;
  readonly datasource: { readonly uid: string };
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly fieldConfig: { readonly defaults: { readonly unit: string } };
  readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[];
}

export interface Dashboard {
  readonly templating: { readonly list: readonly { readonly name: string; readonly type: string }[] };
  readonly panels: readonly Panel[];
}

export const dashboard = JSON.parse(readFileSync(join(DEPLOY, 'grafana/walpost.json'), 'utf8')) as Dashboard;

/** What Grafana puts in the place of its variables, for everything, and scrapes of one second. */
export function expanded(expression: string): string {
  return expression.replaceAll('$instance', '.*').replaceAll('$__rate_interval', '10s');
}
