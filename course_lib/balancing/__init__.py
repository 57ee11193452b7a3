"""Which of several instances gets the next request.

policy      what a policy is
turns       round_robin, weighted_round_robin, random_choice
least       least_connections, two_choices
hashing     ip_hash, consistent_hash, rendezvous_hash
balance     one endpoint that stands for many
plain       two of the policies by a plain scan, to read first
nginx       reads an `upstream` block
"""

from course_lib.balancing.balance import balance
from course_lib.balancing.hashing import consistent_hash, ip_hash, rendezvous_hash
from course_lib.balancing.least import least_connections, two_choices
from course_lib.balancing.policy import Policy
from course_lib.balancing.turns import random_choice, round_robin, weighted_round_robin
from course_lib.discovery.instance import Instance

__all__ = [
    "Instance",
    "Policy",
    "balance",
    "consistent_hash",
    "ip_hash",
    "least_connections",
    "random_choice",
    "rendezvous_hash",
    "round_robin",
    "two_choices",
    "weighted_round_robin",
]
