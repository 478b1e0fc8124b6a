/** Headers of a request that walpost sets itself, by their names in lower case. */
const OURS =
  /^(content-(type|length|encoding)|transfer-encoding|connection|keep-alive|upgrade|expect|te|trailer|webhook-.*)$/;
/** Headers that an operator may set, and a customer may not. */
const OF_THE_OPERATOR = /^(host|proxy-.*|traceparent|tracestate|walpost-.*|idempotency-key)$/;

export function isSetByWalpost(name: string): boolean {
  return OURS.test(name);
}

/** Of an endpoint, whose headers a customer writes. */
export function isOwnHeader(name: string): boolean {
  return OURS.test(name) || OF_THE_OPERATOR.test(name);
}
