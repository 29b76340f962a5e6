"""What several checkpoints of a run tell that none of them holds: betas, numbers of updates, epsilon, rates.

A thread may be importing this while another imports one of its modules: nothing is imported here, or each could wait
for what the other holds (`runs.importing`).
"""
