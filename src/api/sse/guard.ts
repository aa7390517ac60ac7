/**
 * Who may read the streams from a browser. There is no authentication, so on loopback the browser is the danger: any
 * page it shows can send requests here. What keeps them out:
 *
 *   Host             a page whose name was pointed at 127.0.0.1 (DNS rebinding) asks for that name: not one of ours
 *   Origin           a page of elsewhere says so, and reads nothing: one origin at most is let in, by name
 *   Sec-Fetch-Site   a page of elsewhere that does not want to read, only to keep us busy
 */
import type { IncomingHttpHeaders } from 'node:http';
import { status } from '@grpc/grpc-js';
import { ApiError } from '../errors.ts';
import { hostIn, isLoopback } from '../listen.ts';

export class Guard {
  readonly #checksHost: boolean;
  readonly #origin: string | undefined;
  readonly #host: string | undefined;

  /** `origin`: whose pages may read, such as "https://console.example"; undefined: only pages from here. */
  constructor(listen: string, origin: string | undefined) {
    // Elsewhere what it is called is not known here.
    this.#checksHost = isLoopback(hostIn(listen));
    this.#origin = origin;
    // A proxy in front of us passes on the name it is reached by.
    this.#host = origin === undefined ? undefined : new URL(origin).host;
  }

  /** Throws PERMISSION_DENIED. */
  check({ host = '', origin, 'sec-fetch-site': site = 'none' }: IncomingHttpHeaders): void {
    if (this.#checksHost && host !== this.#host && !isLoopback(host.replace(/:\d+$/, '')))
      throw new ApiError(
        status.PERMISSION_DENIED,
        'HOST_NOT_ALLOWED',
        'the Host header is of another server',
      );
    if (origin !== undefined && origin === this.#origin) return;
    const isFromHere = origin === undefined || origin === `http://${host}` || origin === `https://${host}`;
    if (!isFromHere || (site !== 'same-origin' && site !== 'none'))
      throw new ApiError(status.PERMISSION_DENIED, 'ORIGIN_NOT_ALLOWED', 'pages of that origin may not read');
  }

  /** Headers that let the page of the one origin read, if it asks. */
  headers({ origin }: IncomingHttpHeaders): Readonly<Record<string, string>> {
    if (this.#origin === undefined) return {};
    return {
      vary: 'Origin',
      ...(origin === this.#origin ? { 'access-control-allow-origin': this.#origin } : {}),
    };
  }
}
