"""Selaras keeps the data of schools equal with a central registry.

validator  takes operators' changes into the replica and knows at any moment whether a school may sync
syncer     makes replica and central equal, both ways, and proves it with a receipt
puller     brings central's updates into the replica, one way
central    the registry of all schools: takes in pushes, hands out changes, takes officers' changes
"""
