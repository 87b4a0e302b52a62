"""Cases that can be worked out by hand; with one feature a side, CKA is the squared correlation."""

CROSS = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]

test_cases = [
    {
        "x": CROSS,
        "y": [[3.0 - 2.0 * b, 2.0 * a] for a, b in CROSS],  # turned, made larger and moved
        "measures": ["linear_cka", "procrustes"],
        "result": {"linear_cka": 1.0, "procrustes": 1.0},
    },
    {
        "x": [[1.0], [-1.0], [1.0], [-1.0]],
        "y": [[1.0], [1.0], [-1.0], [-1.0]],
        "measures": ["linear_cka", "cca"],
        "result": {"linear_cka": 0.0, "cca": 0.0},
    },
    {
        "x": [[0.0], [1.0], [2.0], [3.0]],
        "y": [[0.0], [1.0], [2.0], [4.0]],
        "measures": ["linear_cka", "r2_cca"],
        "result": {"linear_cka": 6.5**2 / (5 * 8.75), "r2_cca": 6.5**2 / (5 * 8.75)},
    },
]
