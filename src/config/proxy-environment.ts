/**
 * Outbound proxies as other programs know them: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in capitals or small letters. They
 * stand for the `proxy` of each sink, and of the alerts, that have none of their own. This machine is never reached through a proxy.
 */
import { isLoopback } from '../loopback.ts';
import { outsideFile, type ConfigDraft } from './config-draft.ts';
import type { OptionPath } from './config-problem.ts';
import type { Environment } from './interpolation.ts';
import { childOf } from './option-schema.ts';
import { outsideFault } from './outside-values.ts';
import { RESEND_API } from './sinks/email.ts';
import { hasHttpOptions } from './sinks/http-options.ts';
import { SLACK_API } from './sinks/slack.ts';

export function applyProxyEnvironment(draft: ConfigDraft, env: Environment): void {
  const alerts = childOf(draft.root, 'alerts');
  if (isMap(alerts)) useProxy(draft, env, { path: ['alerts'], section: alerts, url: childOf(alerts, 'url') });
  const sinks = childOf(draft.root, 'sinks');
  if (!isMap(sinks)) return;
  for (const [name, section] of Object.entries(sinks)) {
    const type: unknown = childOf(section, 'type');
    const url: unknown = childOf(section, 'url') ?? usualUrl(type);
    if (hasHttpOptions(type)) useProxy(draft, env, { path: ['sinks', name], section, url });
  }
}

interface ProxyUser {
  readonly path: OptionPath;
  readonly section: unknown;
  readonly url: unknown;
}

function useProxy(draft: ConfigDraft, env: Environment, { path, section, url }: ProxyUser): void {
  if (childOf(section, 'proxy') !== undefined || typeof url !== 'string' || !/^\s*https?:/i.test(url)) return;
  const found = proxyFor(url, env);
  if (!found) return;
  draft.override([...path, 'proxy'], found.proxy, {
    ...outsideFile(found.variable),
    fault: outsideFault(found.proxy),
  });
}

function isMap(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function usualUrl(type: unknown): string | undefined {
  return type === 'slack' ? SLACK_API : type === 'email' ? RESEND_API : undefined;
}

interface FoundProxy {
  readonly variable: string;
  readonly proxy: string;
}

/** The proxy that the environment has for a URL. */
export function proxyFor(text: string, env: Environment): FoundProxy | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  const names = url.protocol === 'https:' ? ['HTTPS_PROXY', 'https_proxy'] : ['HTTP_PROXY', 'http_proxy'];
  const variable = names.find((name) => env[name]?.trim());
  const host = url.hostname.toLowerCase().replace(/^\[(.*)\]$/, '$1');
  if (variable === undefined || isLoopback(host)) return undefined;
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  if (isExempt(host, port, env['NO_PROXY'] || env['no_proxy'] || '')) return undefined;
  const proxy = env[variable]?.trim() ?? '';
  return { variable, proxy: proxy.includes('://') ? proxy : `http://${proxy}` };
}

/** `*`, a host with all names below it, with a dot or `*.` before it or not, each with a port or not. */
function isExempt(host: string, port: string, list: string): boolean {
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => {
      if (entry === '*') return true;
      const [, name = '', only] = /^(?:\*?\.)?(\[.*\]|[^:]+|[\da-f:]+)(?::(\d+))?$/.exec(entry) ?? [];
      const bare = name.replace(/^\[(.*)\]$/, '$1');
      if (bare === '' || (only !== undefined && only !== port)) return false;
      return host === bare || host.endsWith(`.${bare}`);
    });
}
