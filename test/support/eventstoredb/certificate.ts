/** A certificate for localhost that vouches for itself, for tests over TLS; made anew, so that none can expire. */
import { generateKeyPairSync, sign } from 'node:crypto';

const der = (tag: number, ...contents: readonly Buffer[]): Buffer => {
  const content = Buffer.concat(contents);
  const { length } = content;
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
};

const sequence = (...contents: readonly Buffer[]): Buffer => der(0x30, ...contents);
const hex = (tag: number, content: string): Buffer => der(tag, Buffer.from(content, 'hex'));

const ecdsaWithSha256 = sequence(hex(0x06, '2a8648ce3d040302'));
const name = sequence(
  der(0x31, sequence(hex(0x06, '550403'), der(0x0c, Buffer.from('eventstoredb fixture')))),
);

/** UTCTime. */
const time = (at: Date): Buffer =>
  der(0x17, Buffer.from(`${at.toISOString().replaceAll(/[-:T]/g, '').slice(2, 14)}Z`));

/** Basic constraints (an authority), and where it may be found. */
const extensions = der(
  0xa3,
  sequence(
    sequence(hex(0x06, '551d13'), hex(0x01, 'ff'), der(0x04, sequence(hex(0x01, 'ff')))),
    sequence(
      hex(0x06, '551d11'),
      der(0x04, sequence(der(0x82, Buffer.from('localhost')), hex(0x87, '7f000001'))),
    ),
  ),
);

export function selfSignedCertificate(): { readonly cert: Buffer; readonly key: Buffer } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const hour = 3_600_000;
  const toBeSigned = sequence(
    hex(0xa0, '020102'),
    hex(0x02, '01'),
    ecdsaWithSha256,
    name,
    sequence(time(new Date(Date.now() - hour)), time(new Date(Date.now() + 24 * hour))),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    extensions,
  );
  const signature = sign('sha256', toBeSigned, privateKey);
  const certificate = sequence(toBeSigned, ecdsaWithSha256, der(0x03, Buffer.from([0]), signature));
  const lines = certificate.toString('base64').replaceAll(/.{64}/g, '$&\n');
  return {
    cert: Buffer.from(`-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`),
    key: Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem' })),
  };
}
