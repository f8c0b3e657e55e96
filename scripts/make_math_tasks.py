#!/usr/bin/env python3
"""Generates the math suite's tasks with reasoning-gym, seeded: data/math/tasks.jsonl.

Run by scripts/make_math_tasks.sh with the environment that scripts/make_venv.sh makes. Each gold
answer is worked out by the generator itself; blind spot: wording is the generator's, too.
"""
import importlib
import json
import os
import sys
import types

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEPS = os.environ.get("PROCTOR_DEPS", os.path.join(ROOT, ".deps"))
DATA = os.environ.get("PROCTOR_DATA", os.path.join(ROOT, "data"))
SEED = 20250101

# module, class stem, how many, difficulty, options of its config
GENERATORS = [
    ("arithmetic.chain_sum", "ChainSum", 3, "easy",
     dict(min_terms=2, max_terms=3, min_digits=1, max_digits=2)),
    ("arithmetic.products", "Products", 2, "easy",
     dict(min_terms=2, max_terms=2, min_digits=1, max_digits=2)),
    ("arithmetic.basic_arithmetic", "BasicArithmetic", 3, "medium",
     dict(min_terms=3, max_terms=4, min_digits=1, max_digits=2)),
    ("arithmetic.gcd", "GCD", 2, "medium", dict(min_value=2, max_value=120)),
    ("arithmetic.lcm", "LCM", 1, "medium", dict(min_value=2, max_value=30)),
    ("arithmetic.fraction_simplification", "FractionSimplification", 2, "medium",
     dict(min_value=2, max_value=60, styles=["plain"])),
    ("arithmetic.leg_counting", "LegCounting", 2, "medium",
     dict(min_animals=2, max_animals=3, min_instances=1, max_instances=4)),
    ("algebra.simple_equations", "SimpleEquations", 2, "medium",
     dict(min_terms=2, max_terms=3, min_value=1, max_value=20)),
    ("arithmetic.gsm_symbolic.gsm_symbolic", "GSMSymbolic", 4, "hard", {}),
]


def bare_package(name, folder):
    """A package whose __init__ is not run: it imports every generator and what they need."""
    package = types.ModuleType(name)
    package.__path__ = [folder]
    sys.modules[name] = package


def generate():
    home = os.path.join(DEPS, "reasoning-gym")
    sys.path.insert(0, home)
    base = os.path.join(home, "reasoning_gym")
    if not os.path.isdir(base):
        sys.exit(f"make_math_tasks: {base} is not there: run scripts/make_venv.sh first")
    bare_package("reasoning_gym", base)
    for folder in ("arithmetic", "algebra"):
        bare_package(f"reasoning_gym.{folder}", os.path.join(base, folder))
    for module_name, stem, count, difficulty, options in GENERATORS:
        module = importlib.import_module("reasoning_gym." + module_name)
        config = getattr(module, stem + "DatasetConfig", None) or getattr(module, stem + "Config")
        dataset = getattr(module, stem + "Dataset")(config(seed=SEED, size=count, **options))
        for i in range(count):
            yield module_name.rsplit(".", 1)[-1], i, difficulty, dataset[i]


def record(generator, index, difficulty, entry):
    gold = {"answers": [str(entry["answer"]).strip()]}
    if generator == "fraction_simplification":
        gold["exact"] = True  # an equal fraction that is not in lowest terms is no answer
    return {
        "id": f"math-{generator.replace('_', '-')}-{index}",
        "suite": "math",
        "prompt": entry["question"].strip(),
        "gold": gold,
        "metadata": {"generator": f"reasoning-gym {generator}", "seed": SEED,
                     "difficulty": difficulty},
    }


def main():
    lines = [json.dumps(record(*row), ensure_ascii=False) for row in generate()]
    path = os.path.join(DATA, "math", "tasks.jsonl")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    os.replace(path + ".new", path)
    print(f"{path}: {len(lines)} tasks", file=sys.stderr)


if __name__ == "__main__":
    main()
