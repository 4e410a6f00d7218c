// The toy model of the first notebook, as vae_lib.course.toy has it: z ~ N(0, 1), x | z ~ N(decode(z), noise²).

export const DECODERS = {
  one: { text: "x = z + noise", at: (z) => z, slope: () => 1 },
  two: { text: "x = z²/2 + noise", at: (z) => (z * z) / 2, slope: (z) => z },
};
const HALF_LN_2PI = 0.5 * Math.log(2 * Math.PI);
export const logNormal = (x, mean, sigma) => -0.5 * ((x - mean) / sigma) ** 2 - Math.log(sigma) - HALF_LN_2PI;

const even = (low, high, count) => Float64Array.from({ length: count }, (_, i) => low + ((high - low) * i) / (count - 1));
const GRID = even(-10, 10, 4001);
const STEP = GRID[1] - GRID[0];
const NODES = even(-8, 8, 401);
const WEIGHTS = NODES.map((e) => Math.exp(-0.5 * e * e));
const WEIGHT = WEIGHTS.reduce((sum, w) => sum + w, 0);

/** The mean of f over N(mu, sigma²), by quadrature. */
const expect = (f, mu, sigma) => NODES.reduce((sum, e, i) => sum + WEIGHTS[i] * f(mu + sigma * e), 0) / WEIGHT;

export class Toy {
  constructor(kind, x, noise) {
    Object.assign(this, { decoder: DECODERS[kind], x, noise });
    this.logEvidence = Math.log(GRID.reduce((sum, z) => sum + Math.exp(this.logJoint(z)), 0) * STEP);
  }
  logLikelihood(z) {
    return logNormal(this.x, this.decoder.at(z), this.noise);
  }
  /** d/dz of `logLikelihood`. */
  slope(z) {
    return ((this.x - this.decoder.at(z)) / this.noise ** 2) * this.decoder.slope(z);
  }
  logJoint(z) {
    return logNormal(z, 0, 1) + this.logLikelihood(z);
  }
  posterior(z) {
    return Math.exp(this.logJoint(z) - this.logEvidence);
  }
  /** E_q[log p(x | z)] − KL(q ‖ p(z)), nats. */
  bound(mu, sigma) {
    const kl = 0.5 * (mu * mu + sigma * sigma - 1) - Math.log(sigma);
    return expect((z) => this.logLikelihood(z), mu, sigma) - kl;
  }
  /** KL(q ‖ p(z | x)), nats: not taken as what the bound leaves, but an integral of its own. */
  gap(mu, sigma) {
    return expect((z) => logNormal(z, mu, sigma) - this.logJoint(z) + this.logEvidence, mu, sigma);
  }
  /** The slope of the bound in mu, by quadrature. */
  exactGradient(mu, sigma) {
    return expect((z) => this.slope(z), mu, sigma) - mu;
  }
}
