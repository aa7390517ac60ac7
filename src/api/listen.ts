/** Addresses to listen on, HOST:PORT. */

/** The address to listen on is taken, or cannot be had. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

/** The host as written, in brackets if it is an IPv6 address. */
export const hostIn = (address: string): string => address.slice(0, Math.max(0, address.lastIndexOf(':')));

/** Whether a host, as written in an address or a URL, can be no other machine. */
export const isLoopback = (host: string): boolean => /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/i.test(host);
