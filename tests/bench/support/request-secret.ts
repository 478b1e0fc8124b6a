/** Of every request of `bench:requests`. */
export const REQUEST_SECRET = 'whsec_bWFkZSBmb3IgYmVuY2htYXJrcw==';
