#!/usr/bin/env python3
"""search_bench beside bm25s with numba, on the same corpus, in the same minutes: the ratio counts.

    python3 tests/bench/search_peer.py build/release/tests/bench/search_bench [--docs 50000]

Needs bm25s and numba: pip install bm25s==0.3.16 numba. Blind spot: bm25s is a Python package, so
that its figures include a call per query and a split of the query text.
"""

import json
import os
import subprocess
import sys
import tempfile
import time


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        import bm25s
        import numba
    except ImportError as error:
        print("search_peer: %s; pip install bm25s==0.3.16 numba" % error, file=sys.stderr)
        return 3
    k = 10
    with tempfile.TemporaryDirectory() as folder:
        bench = subprocess.run([sys.argv[1], *sys.argv[2:], "--k", str(k), "--dump", folder],
                               stdout=subprocess.PIPE, text=True, check=True)
        ours = json.loads(bench.stdout)
        with open(os.path.join(folder, "corpus.jsonl")) as lines:
            texts = [json.loads(line)["text"] for line in lines]
        with open(os.path.join(folder, "queries.txt")) as lines:
            queries = [line.split() for line in lines]

        cpu, wall = time.process_time(), time.time()
        tokens = [text.split() for text in texts]
        index = bm25s.BM25(method="lucene", k1=0.9, b=0.4, backend="numba")
        index.index(tokens, show_progress=False)
        index_cpu, index_wall = time.process_time() - cpu, time.time() - wall

        def rate(threads):
            best = 0, 0
            for _ in range(3):
                cpu, wall = time.process_time(), time.time()
                index.retrieve(queries, k=k, show_progress=False, n_threads=threads)
                took = time.time() - wall
                best = max(best, (len(queries) / took, len(queries) / (time.process_time() - cpu)))
            return best

        index.retrieve(queries[:50], k=k, show_progress=False)  # numba compiles
        theirs_one, theirs_cpu = rate(1)
        theirs_two, _ = rate(2)

        # The same documents come back: scores of both, best k, for some queries.
        found, scores = index.retrieve(queries[:50], k=k, show_progress=False)
        asked = os.path.join(folder, "asked")
        with open(asked, "w") as out:
            out.writelines(" ".join(query) + "\n" for query in queries[:50])
        proctor = os.environ.get("PROCTOR")
        overlap = None
        if proctor:
            answer = subprocess.run([proctor, "index", "query", os.path.join(folder, "index"), "--k",
                                     str(k), "--queries", asked], stdout=subprocess.PIPE, text=True,
                                    check=True)
            same = 0
            for line, numbers in zip(answer.stdout.splitlines(), found):
                mine = {hit["id"] for hit in json.loads(line)["hits"]}
                same += len(mine & {"d%d" % number for number in numbers})
            overlap = same / (k * len(found))
    print(json.dumps({
        "ours": ours,
        "bm25s": {"version": bm25s.__version__, "numba": numba.__version__,
                  "index_docs_per_cpu_s": round(len(texts) / index_cpu),
                  "index_docs_per_wall_s": round(len(texts) / index_wall),
                  "qps_1_thread": round(theirs_one), "qps_1_thread_by_cpu": round(theirs_cpu),
                  "qps_2_threads": round(theirs_two)},
        "ratio_1_thread": round(ours["qps_1_thread"] / theirs_one, 2),
        "ratio_1_thread_by_cpu": round(ours["qps_1_thread_by_cpu"] / theirs_cpu, 2),
        "ratio_2_threads": round(ours["qps_2_threads"] / theirs_two, 2),
        "overlap_at_%d" % k: overlap,
        "load": os.getloadavg()[0],
    }, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
