"""Where many pictures lie: folders, lists, archives and tables, here or at an address; read shard by shard."""
