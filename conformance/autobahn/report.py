# Reads the indices of one or more runs and prints `passed X of Y`, with the cases that failed. Exits with 1 if any did.
import collections
import json
import sys

cases = {}
for index in sys.argv[1:]:
    cases.update(json.load(open(index))["narthex"])
good = {"OK", "NON-STRICT", "INFORMATIONAL"}
failed = [case for case, result in cases.items() if result["behavior"] not in good or result["behaviorClose"] not in good]
failed.sort(key=lambda case: [int(number) for number in case.split(".")])
print("passed %d of %d" % (len(cases) - len(failed), len(cases)), dict(collections.Counter(r["behavior"] for r in cases.values())))
if failed:
    print("failed:", " ".join(failed))
    sys.exit(1)
