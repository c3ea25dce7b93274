"""The paper's zero-shot tests, each with its own definition of the number and the paper's beside ours."""
