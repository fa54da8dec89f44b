"""What a transactional producer and its coordinators say to each other."""
