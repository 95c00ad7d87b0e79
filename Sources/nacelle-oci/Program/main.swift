import RuntimeCommands

Program.main()
