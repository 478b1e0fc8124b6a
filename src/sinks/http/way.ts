import { certificatesOf } from '../../certificate-file.ts';
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import type { HttpTargetOptions } from './http-target.ts';

type HttpConfig = Pick<SinkConfigOf<'webhook'>, 'allow_private' | 'proxy' | 'ca'>;

/** How the options of a sink let it reach its destination. */
export function wayOf({
  allow_private,
  proxy,
  ca,
}: HttpConfig): Pick<HttpTargetOptions, 'allowPrivate' | 'proxy' | 'ca'> {
  return {
    allowPrivate: allow_private,
    proxy: proxy === 'none' ? undefined : proxy,
    ca: ca === undefined ? undefined : certificatesOf(ca),
  };
}
