// What the figures of LSH attention share; it stands after kit.js and chart.js.

// The bucket of each vector: the largest of its dot products with the columns of R, and with their opposites.
function bucketsOf(vectors, rotation) {
  return vectors.map((x) => {
    const turned = rotation[0].map((_, c) => x.reduce((sum, entry, f) => sum + entry * rotation[f][c], 0));
    const both = [...turned, ...turned.map((t) => -t)];
    return both.indexOf(Math.max(...both));
  });
}

// Places in order of bucket and, within a bucket, as they stood; and the way back, where each place has gone.
function sortedBy(buckets) {
  const order = buckets.map((_, i) => i).sort((i, j) => buckets[i] - buckets[j] || i - j);
  const place = [];
  order.forEach((i, p) => (place[i] = p));
  return { order, place };
}

// Which keys (columns) each query (rows) meets in one round, itself aside: its bucket, its chunk or the one before.
function metIn(buckets, place, chunk, causal) {
  const chunkOf = (i) => Math.floor(place[i] / chunk);
  return buckets.map((mine, i) =>
    buckets.map((other, j) => {
      const back = chunkOf(i) - chunkOf(j);
      return i !== j && mine === other && (back === 0 || back === 1) && (!causal || j < i);
    }),
  );
}

// A query that has met nothing has itself.
const orItself = (rows) => rows.map((row, i) => (row.some(Boolean) ? row : row.map((_, j) => j === i)));

const letterOf = (bucket) => String.fromCharCode(65 + bucket);
