/** Proves that a text comes from this installation, and was made for one purpose. */
import { createHmac, timingSafeEqual } from 'node:crypto';

export interface Seal {
  /** The text with its proof, safe in headers and URLs. Who has it can read the text. */
  close(purpose: string, text: string): string;
  /** The text; undefined for anything that was not closed here for this purpose. */
  open(purpose: string, sealed: string): string | undefined;
}

const macLength = 16;

/** Instances that share the key and the store accept each other's. */
export function sealWith(key: Uint8Array, storeId: string): Seal {
  const mac = (purpose: string, text: string): Buffer =>
    createHmac('sha256', key)
      .update(JSON.stringify([purpose, storeId, text]))
      .digest()
      .subarray(0, macLength);
  return {
    close: (purpose, text) => Buffer.concat([mac(purpose, text), Buffer.from(text)]).toString('base64url'),
    open(purpose, sealed) {
      const bytes = Buffer.from(sealed, 'base64url');
      if (bytes.length <= macLength) return undefined;
      const text = bytes.subarray(macLength).toString();
      return timingSafeEqual(mac(purpose, text), bytes.subarray(0, macLength)) ? text : undefined;
    },
  };
}
